"""One sentence for each metric. docs/evaluation.md says more."""

METRICS = {
    "accuracy": "Share of test images in the right class, if each category stands for the class of most of its "
    "training images; higher is better.",
    "accuracy_one_to_one": "As accuracy, but no two categories may stand for one class; higher is better.",
    "accuracy_fitted_on_test": "As accuracy, but the test images themselves decide what a category stands for; higher "
    "is better.",
    "category_agreement": "Share of images that keep their category when they are shifted, slanted and stretched a "
    "bit; higher is better.",
    "factor_vae": "How often the code that varies least shows which factor of the images was held; higher is better.",
    "mig": "How much more the best code says about a factor than the second best does; higher is better.",
    "sap": "How much better a factor can be told from the best code than from the second best; higher is better.",
    "category_accuracy_generated": "Share of generated images whose category the encoder reads back; higher is better.",
    "category_purity": "Share of generated images that a small classifier puts in the most frequent class of their "
    "category; higher is better.",
    "classifier_accuracy": "Accuracy of the small classifier on real test images, which says how far it can be "
    "trusted.",
    "fid_classifier": "Distance of generated from real images (FID) in the features of a small classifier; lower is "
    "better.",
    "kid_classifier": "As fid_classifier, but another distance (KID); lower is better.",
    "fid_keras": "Distance of generated from real images (FID) in the features of Keras's InceptionV3; lower is "
    "better.",
    "kid_keras": "As fid_keras, but another distance (KID); lower is better.",
    "reconstruction_error_per_value": "Mean squared error of a reconstructed pixel; lower is better.",
    "reconstruction_error_per_image": "Squared error of a reconstructed image, summed over pixels; lower is better.",
    "log_likelihood_bound": "Lower bound on the log-likelihood of a test image in nats; higher is better.",
    "squared_error_masked": "Squared error of a reconstructed image with the mask of training; lower is better.",
    "squared_error_unmasked": "Squared error of a reconstructed image without the mask; lower is better.",
    "experts_in_use": "Mean number of experts that a mask leaves in use.",
    "experts_heaviest": "Number of experts that have the largest weight for at least one image in a hundred.",
}
_VARIANTS = {  # The end of a name -> what it says of the metric before it.
    "_batch_statistics": "This is {} if batch norm uses the statistics of each batch.",
    "_moving_statistics": "This is {} if batch norm uses the moving averages of training.",
    "_standing_statistics": "This is {} if batch norm uses averages taken after training.",
    "_continuous": "This is {} of the continuous codes alone.",
    "_standard_error": "This is the standard error of {}.",
    "_floor": "This is {} of real images and as many others: compare with it, not with 0.",
}


def explain(name: str) -> str:
    """Return a sentence on the metric `name`, empty if it is unknown."""
    if name in METRICS:
        return METRICS[name]
    for end, text in _VARIANTS.items():
        base = name.removesuffix(end)
        if base != name and explain(base):
            return text.format(base)
    return ""
